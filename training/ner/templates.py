"""Business texts with holes, written for this project, and single cells: what a confidential table holds and public corpora do not.

A hole in capitals becomes an entity of that label; a hole in small letters becomes text that is none.
"""

TEXTS = (
    # bank notes
    "Client {PERSON} called to ask about the fee of {amount} charged on {date}.",
    "Spoke with {TITLED} regarding the overdraft; will call back {date}.",
    "{PERSON} and spouse {FIRST} want to refinance their home at {ADDRESS}.",
    "Meeting at branch {CITY} with {LASTFIRST}: wants to move the savings account to {ORG}.",
    "Wire of {amount} to {ORG}, {CITY}, approved by {INITIALED}.",
    "Beneficiary: {PERSON}, {ADDRESS}. Purpose: rent {month}.",
    "KYC review pending, passport of {PERSON} issued in {COUNTRY} expires {date}",
    "Card lost in {CITY}, {COUNTRY}. Replacement sent to {ADDRESS}.",
    "{TITLED} disputes the payment to {ORG} dated {date} (ref {ref}).",
    "Power of attorney for {PERSON} granted to her son {PERSON}.",
    "Customer moved from {CITY} to {CITY}; new address {ADDRESS}.",
    "Standing order in favour of {PERSON} cancelled on request.",
    "Mr {LAST} is unhappy with the interest rate on the mortgage and threatens to go to {ORG}.",
    "Relationship manager: {PERSON} ({CITY} office).",
    "{FIRST} {LAST} inherited {amount} from her aunt {FIRST} in {COUNTRY}.",
    "Loan application {ref} of {ORG} declined by {PERSON}; reason: insufficient collateral.",
    "Source of funds: sale of the company {ORG} in {CITY}.",
    "Suspicious transfer from {COUNTRY} flagged; sender {ORG}.",
    "Call from {PERSON}, daughter of the late {PERSON}, about closing the accounts.",
    # support tickets
    "Hi, my name is {PERSON} and I cannot log in since {date}.",
    "hello this is {FIRST}, my parcel never arrived at {ADDRESS}",
    "Agent {FIRST}: Thank you for contacting {ORG}, how can I help?",
    "Customer {PERSON} reports that the router stopped working after the update.",
    "Please ship the replacement to {PERSON}, {ADDRESS}, phone {phone}.",
    "Escalated to {PERSON} in Tier 2, see ticket {ref}.",
    "Thanks, {FIRST}! That solved it.\nBest regards,\n{PERSON}",
    "Dear {FIRST},\nyour order {ref} left our warehouse in {CITY} on {date}.\nKind regards\n{FIRST} {LAST}\n{ORG}",
    "Regards, {PERSON}\n{ORG}\n{ADDRESS}\nTel. {phone}",
    "The invoice should be made out to {ORG}, attn. {PERSON}.",
    "can you change the name on my booking from {PERSON} to {PERSON}?",
    "I live in {CITY} and there has been no signal for three days.",
    "User {email} ({PERSON}) asked for a refund of {amount}.",
    "I bought this at your store in {CITY} last {weekday} and the zip broke.",
    "my husband {FIRST} tried to reset the password but got nothing",
    "Refund approved by {INITIALED} on {date}; customer informed.",
    "Remote session with {FIRST} at {ORG}; driver reinstalled.",
    "Where is my package? I am at {ADDRESS}.",
    "{FIRST} from {ORG} wrote again, please answer today.",
    # human resources
    "{PERSON} joined {ORG} as {job} on {date}.",
    "{LASTFIRST} will be on parental leave until {date}, covered by {PERSON}.",
    "Annual review of {PERSON}: exceeds expectations. Reviewer: {PERSON}.",
    "Employee {ref}, {PERSON}, transferred from {CITY} to the {CITY} site.",
    "Reference check with {PERSON}, former manager at {ORG}: positive.",
    "Previously {job} at {ORG} ({CITY}, {COUNTRY}).",
    "Complaint filed by {FIRST} {LAST} against her supervisor {TITLED}.",
    "{FIRST} has been working with {FIRST} and {FIRST} on the payroll migration.",
    "Candidate {PERSON} studied at {ORG} and lives in {CITY}.",
    "Emergency contact: {PERSON} (mother), {phone}.",
    "Salary of {PERSON} raised to {amount} as of {date}.",
    "Exit interview with {INITIALED}: leaves for {ORG}.",
    "Interview panel: {PERSON}, {PERSON}, {PERSON}.",
    # medical scheduling and notes
    "Pt {PERSON} seen by {DOCTOR} at {ORG} for follow-up.",
    "Appointment for {PERSON} with {DOCTOR} moved to {date}.",
    "{LAST}, {FIRST} - {age} yo, admitted to {ORG} with chest pain.",
    "Patient lives with her daughter {FIRST} in {CITY}.",
    "Referred by {DOCTOR}, {ORG}, {ADDRESS}.",
    "Mrs. {LAST} was discharged home on {date}; her brother {FIRST} will pick her up.",
    "Next of kin {PERSON}, {phone}, resident at {ADDRESS}.",
    "History obtained from the patient's wife {FIRST}. Travelled to {COUNTRY} in {month}.",
    "{DOCTOR} reviewed the MRI and discussed the results with {TITLED}.",
    "Transfer from {ORG} to {ORG} requested by {DOCTOR}.",
    "Blood pressure 140/90, weight stable. Signed: {DOCTOR}",
    "{FIRST} denies any allergies. Works for {ORG} in {CITY}.",
    # insurance and law
    "Claimant {PERSON} of {ADDRESS} reported water damage on {date}.",
    "The accident happened at {STREET} in {CITY}; witness: {PERSON}.",
    "Policy {ref} held by {ORG}, broker {PERSON}.",
    "{PERSON} v. {ORG}, hearing in {CITY} on {date}.",
    "Counsel for the plaintiff, {PERSON} of {ORG}, filed a motion.",
    "The tenant {LASTFIRST} has not paid the rent for {STREET} since {month}.",
    "Contract between {ORG} and {ORG}, signed in {CITY} by {PERSON}.",
    "Notary {DOCTOR} certified the signature of {PERSON}.",
    # travel, logistics, everyday
    "Flight from {CITY} to {CITY} for {PERSON} on {date}, seat 14C.",
    "Deliver to {ADDRESS} before {date}.",
    "Driver {FIRST} collected twelve pallets at {ORG} in {CITY}.",
    "{PERSON} (born in {CITY}, {COUNTRY}) was a guest at the hotel.",
    "We met {FIRST} and {PERSON} at the conference in {CITY}.",
    "{ORG} opened an office in {CITY}, {COUNTRY}.",
    "According to {PERSON}, chief executive of {ORG}, sales in {COUNTRY} rose by 4 %.",
    "{PERSON} told {ORG} that talks with {COUNTRY} would resume in {month}.",
    "The {ORG} report on {COUNTRY} was published in {month}.",
    "{COUNTRY} and {COUNTRY} signed the agreement in {CITY}.",
    "{FIRST}'s brother works for {ORG}.",
    "Ask {FIRST} or {FIRST} about it.",
    "{PERSON}, {age}, from {CITY}",
    "{PERSON} <{email}> wrote on {date}:",
    "From: {PERSON}\nTo: {PERSON}\nSubject: {subject}",
    "cc {FIRST}, {FIRST} and {FIRST}",
    "name: {PERSON}\naddress: {ADDRESS}",
    "Full name {PERSON}, residence {CITY}, employer {ORG}",
    "Send the contract to {PERSON} at {ORG}, {ADDRESS}.",
    "My new address is {ADDRESS}, please update it.",
    "I've moved to {ADDRESS} last {month}.",
    "I am originally from {COUNTRY} but grew up in {CITY}.",
    "who is {PERSON}?",
    "{PERSON} is a {job}.",
    "It says {PERSON} on the card.",
    "The office of {ORG} is at {ADDRESS}.",
)

PLAIN = (
    "Customer called to ask about the annual fee, explained that it is waived.",
    "Called back on {date}, no answer, left a voice mail.",
    "Please reset the password and confirm by e-mail.",
    "Order {ref} was delivered on {date}.",
    "Payment of {amount} received, thank you.",
    "Ticket {ref} closed: {subject}.",
    "Follow-up visit in {month}. Continue current medication.",
    "BP 120/80, HR 72, no acute distress. Labs within normal limits.",
    "The {subject} is due on {date}.",
    "Your Account Number is {ref}. Never share it.",
    "Thank You For Your Order",
    "Terms and Conditions apply. See Section 4 of the Agreement.",
    "Employee works from home on {weekday} and {weekday}.",
    "Direct debit returned on {date}, reason code 04.",
    "Can I change my order? I need it before {weekday}.",
    "How do I update my app to the latest version?",
    "The client prefers to be contacted in the morning. Risk profile: balanced.",
    "Mortgage renewal discussed; the client will decide in {month}.",
    "Status: {subject} - Pending",
    "Screen stays black after start. Replaced cable. Works again.",
    "Happy New Year and Merry Christmas to all!",
    "Bought ETF units for {amount} on {date}.",
    "Dear Sir or Madam,\nplease find attached the {subject}.\nYours sincerely",
    "Hi team, the meeting is moved to {weekday}. Best regards",
    "My card {ref} was declined, why?",
    "The patient is a {age} year old male with Type 2 diabetes and Parkinson's disease.",
    "Spanish and French speaking agents wanted.",
    "She speaks English, German and Italian.",
)
"""Texts without any name: what must stay untouched."""

CELLS = (
    "{PERSON}",
    "{PERSON}",
    "{LASTFIRST}",
    "{INITIALED}",
    "{FIRST}",
    "{LAST}",
    "{ADDRESS}",
    "{ADDRESS}",
    "{STREET}",
    "{CITY}",
    "{COUNTRY}",
    "{ORG}",
    "{ORG}",
    "{TITLED}",
    "{CITY}, {COUNTRY}",
    "{PERSON} ({ORG})",
    "{FIRST} & {FIRST} {LAST}",
)

PLAIN_CELLS = (
    "approved", "Declined", "Pending Review", "credit card", "Blue", "Private", "Self-employed", "Married", "single",
    "Bachelor's degree", "Sales", "Customer Service", "Human Resources", "Head of Operations", "Savings Account", "Fixed-Rate Mortgage",
    "n/a", "None", "unknown", "Yes", "No", "Male", "Female", "{date}", "{ref}", "{amount}", "{month}", "{weekday}", "{job}",
    "{subject}", "Gold", "Premium", "Basic Plan", "High", "Medium", "Low", "Type 2 diabetes", "Hypertension", "Ibuprofen 400 mg",
    "MRI of the knee", "Some college", "Machine operator", "Not in family", "Own child", "Electronics", "Home and Garden", "Groceries",
    "Public Transport", "Interest", "Salary", "Rent", "ATM Withdrawal", "Card Payment", "Direct Debit", "Standing Order", "In Progress",
    "On Hold", "Completed", "New", "Open", "Closed", "Urgent",
)  # fmt: skip

JOBS = (
    "nurse", "Senior Analyst", "software engineer", "Head of Compliance", "teacher", "driver", "Account Manager", "sales clerk",
    "Project Manager", "warehouse worker", "data scientist", "Chief Financial Officer", "receptionist", "electrician", "consultant",
    "Vice President", "Director",
)  # fmt: skip

SUBJECTS = (
    "Annual Report", "monthly statement", "refund", "Password Reset", "Credit Agreement", "tax form", "Delivery Note", "insurance card",
    "Terms of Service", "Data Protection Policy", "quarterly review", "Change Request", "Purchase Order", "lab results",
    "travel expenses",
)  # fmt: skip

MONTHS = "January February March April May June July August September October November December".split()
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

TRADES = (
    "Consulting", "Logistics", "Insurance", "Bank", "Software", "Foods", "Electric", "Partners", "Media", "Motors", "Pharma", "Systems",
    "Capital", "Airlines", "Energy", "Technologies", "Records",
)  # fmt: skip

TOPICS = ("Health", "Finance", "Justice", "Education", "Agriculture", "Foreign Affairs", "Transport", "the Interior", "Technology")

LEGAL_FORMS = (
    "Inc", "Inc.", "Ltd", "Ltd.", "LLC", "GmbH", "AG", "PLC", "Corp.", "Co.", "S.A.", "B.V.", "Group", "Holdings", "& Co.",
)  # fmt: skip

COINED = (
    "Al Ver Nor Tel Cy Qua Ome Lum Zen Pro Gen Inno Syn Medi Fin".split(),
    "trix vio tech dex soft ra ntis corp lab media xa nova".split(),
)
"""First and second halves of invented brand names."""

ORGANISATION_FORMS = (
    "{last} {legal}", "{last} & {other}", "{last} & {other} LLP", "{last} {trade}", "{coined}", "{coined} {legal}", "{coined} {trade}",
    "{place} {trade} {legal}", "Bank of {place}", "University of {place}", "{place} University", "{place} General Hospital",
    "St. {first} Hospital", "{place} City Council", "Ministry of {topic}", "Department of {topic}", "{place} High School", "{acronym}",
    "{acronym} {trade}", "{last} Brothers", "{place} Police Department", "{place} United", "National Institute of {topic}",
    "{last}, {other} and {last}", "{last} Clinic", "Institute for {topic}", "{last} Foundation",
)  # fmt: skip

TITLES = {"TITLED": ("Mr. ", "Mrs. ", "Ms. ", "Mr ", "Mrs ", "Ms ", "Miss "), "DOCTOR": ("Dr. ", "Dr ", "Prof. ", "Dr. med. ")}

ORGANISATIONS = (
    "Google", "Microsoft", "Apple", "Amazon", "Facebook", "Twitter", "IBM", "Intel", "Oracle", "Cisco", "Samsung", "Sony", "Toyota",
    "Honda", "Ford", "General Motors", "Volkswagen", "BMW", "Siemens", "Bosch", "Nestlé", "Novartis", "Roche", "Pfizer", "Merck",
    "Bayer", "UBS", "Credit Suisse", "Deutsche Bank", "HSBC", "Barclays", "Citibank", "JPMorgan Chase", "Goldman Sachs",
    "Morgan Stanley", "Wells Fargo", "Bank of America", "Visa", "PayPal", "Walmart", "Target", "Costco", "Tesco", "Sainsbury's", "IKEA",
    "McDonald's", "Starbucks", "Coca-Cola", "Pepsi", "Boeing", "Airbus", "Lufthansa", "British Airways", "Delta", "United Airlines",
    "Ryanair", "FedEx", "UPS", "DHL", "AT&T", "Verizon", "Vodafone", "T-Mobile", "Exxon", "Shell", "BP", "Gazprom", "General Electric",
    "Enron", "Reuters", "Associated Press", "BBC", "CNN", "NBC", "Fox News", "Al Jazeera", "The New York Times", "Washington Post",
    "The Guardian", "United Nations", "UN", "NATO", "EU", "European Union", "WHO", "World Bank", "IMF", "UNICEF", "Red Cross", "FBI",
    "CIA", "NASA", "FDA", "EPA", "IRS", "NHS", "Congress", "Senate", "House of Representatives", "Parliament", "Supreme Court",
    "White House", "Pentagon", "Department of State", "Department of Justice", "Treasury", "Republican Party", "Democratic Party",
    "Labour Party", "Conservative Party", "Greenpeace", "Amnesty International", "Harvard", "Harvard University", "MIT",
    "Stanford University", "Oxford University", "University of Cambridge", "Yale", "Manchester United", "Real Madrid", "Chelsea",
    "Liverpool", "Arsenal", "New York Yankees", "Al Qaeda", "Hamas", "Hezbollah", "Taliban", "Interpol", "European Commission",
    "Federal Reserve", "ECB", "UNESCO", "OPEC", "FIFA", "NBA", "NFL", "Royal Navy", "US Army", "Air Force", "Marine Corps",
    "Scotland Yard", "Universal Pictures", "Warner Bros.", "Disney", "Netflix", "EMI", "Columbia Records", "Penguin Books", "Springer",
    "Elsevier", "IEEE", "ACM", "OpenAI", "DeepMind", "Bell Labs", "Royal Society",
)  # fmt: skip

REGIONS = (
    "Europe", "Asia", "Africa", "North America", "South America", "Latin America", "Middle East", "Central Asia", "Eastern Europe",
    "Gaza", "West Bank", "Kashmir", "Baghdad", "Tehran", "Kabul", "Jerusalem", "Tel Aviv", "Damascus", "Beirut", "Moscow",
    "St. Petersburg", "London", "Paris", "Berlin", "Vienna", "Zurich", "Geneva", "Rome", "Milan", "Madrid", "Barcelona", "Lisbon",
    "Amsterdam", "Brussels", "Copenhagen", "Stockholm", "Oslo", "Helsinki", "Dublin", "Edinburgh", "Glasgow", "Manchester", "Liverpool",
    "New York", "New York City", "NYC", "Los Angeles", "LA", "San Francisco", "Chicago", "Houston", "Boston", "Washington",
    "Washington, D.C.", "DC", "Seattle", "Miami", "Toronto", "Vancouver", "Montreal", "Mexico City", "Tokyo", "Beijing", "Shanghai",
    "Hong Kong", "Singapore", "Delhi", "Mumbai", "Karachi", "Dubai", "Cairo", "Lagos", "Nairobi", "Johannesburg", "Sydney", "Melbourne",
    "Soviet Union", "Yugoslavia", "Bavaria", "Tuscany", "Scotland", "Wales", "England", "Northern Ireland", "Catalonia", "Quebec",
    "Ontario", "Silicon Valley", "Manhattan", "Brooklyn", "Hollywood", "the Alps", "Mount Everest", "Lake Geneva", "River Thames",
    "the Pacific", "Atlantic Ocean", "Mediterranean", "Persian Gulf", "Suez Canal", "Heathrow", "Central Park",
)  # fmt: skip

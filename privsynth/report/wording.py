"""The fixed sentences of the report: what is claimed, tested and left open, in words that hold for every release.

None of them depends on data. They state evidence and limits; conclusions are a person's.
"""

from __future__ import annotations

from typing import Any

OUTSIDE = ("the overall verdict (one bit)", "that this release exists at all; attempts are counted in the ledger")
"""What reaches the recipient and is not covered by epsilon."""

DOES_NOT_SHOW = (
    "That nobody can be re-identified: tests can find a leak, they cannot show that there is none.",
    "What an attacker with other data about the same people could learn by combining it.",
    "That statistics of groups are harmless: what is true of a group is kept on purpose, and may be sensitive.",
)

HUMAN_ITEMS = (
    "The declared bounds, categories and maps come from public knowledge, not from looking at the data.",
    "The privacy unit is right: one person has one id in this dataset.",
    "The policy's limits were set by the organisation (the shipped values are examples).",
    "The purpose, the recipient and the contract with the recipient are in order.",
    "The legal assessment was made by a person: this report is evidence for it, not its result.",
)

METHODS = (
    "Split by person with independent coins before anything is fitted; held-out people are never used for fitting.",
    "Each mechanism is reserved in the ledger before it runs; one accountant adds all of them up.",
    "Exact replay, unique-combination replay and nearest-neighbour replay of all training records against all held-out records.",
    "Membership inference by distance, calibrated neighbours, marginal densities and a classifier, for all and the most isolated tenth.",
    "Singling out, linkability and attribute inference, each against held-out people and against guessing.",
    "The same attacks on releases with a known leak and on releases without any, made of the same records.",
    "A lower bound on epsilon from this one run: the coins of the split are guessed from the release; above the claim nothing is exported.",
    "Split, attacks and policy are committed in the ledger, by a hash with a secret nonce, before anything is fitted.",
    "The verdict is the worst judgement; what was skipped or could not be measured counts as inconclusive.",
    "Noise and the coins of the split come from the operating system's randomness and cannot be repeated; "
    "sampling and attacks use fresh random numbers that protect nothing.",
)

NOT_TESTED = (
    "Attacks on the fitted model itself: it is not part of the release.",
    "Joining the release with outside files about the same people: no such file was given to the tests.",
    "Other releases about the same people that were made without this ledger.",
    "Attackers who can choose or change records before the data were collected.",
)
"""What no attack of a run covers, whatever it finds."""

NO_CANARIES = "Canaries in the texts: none were planted, so that rare phrases of one person are covered by the replay tests alone."

SIGNING = (
    "Signing means: I have read both pages, the open items above are settled or listed under conditions, and I accept the remaining "
    "risk for this purpose, this recipient and until this date. It does not mean that the software has decided.",
    "A release is refused by not signing it. Conditions (deletion date, no onward transfer, no attempt to re-identify) belong "
    "into the contract and into the column below.",
)

AT_GREY = (
    "If the light is grey (inconclusive), no test failed, but a judgement could not be made. Do one of three things: get what is missing "
    "(more held-out people, a planted control, an attack that ran) and measure again; release for a lesser purpose; or let a named "
    "person decide in writing, with the reason beside the signature. Time pressure is not a reason.",
)

AT_RED = ("If the light is red (failed), nothing was exported. Do not repeat the run until it passes: attempts are counted in the ledger.",)

CAN_FAIL: dict[str, str] = {
    "singling out": "Silent if the telling combination of values was not among those drawn.",
    "linkability": "Silent if an attacker's two files overlap in other columns than the halves tried here.",
    "attribute inference": "Silent on columns that were not declared secret; what is true of a whole group is not counted as a leak.",
    "membership": "Silent against an attacker who knows more than records like those held out; stronger attacks are published each year.",
    "replay": "Silent on copies changed more than the planted ones that were seen; see the floor.",
}
"""How each kind of attack can miss a leak."""

LAW = {
    "singling out": "Opinion 05/2014 of the Article 29 Working Party, criterion 1",
    "linkability": "Opinion 05/2014 of the Article 29 Working Party, criterion 2",
    "attribute inference": "Opinion 05/2014 of the Article 29 Working Party, criterion 3",
    "membership": "EDPB Opinion 28/2024, membership inference",
    "replay": "EDPB Opinion 28/2024, extraction of training records",
}
"""The legal criterion that each kind of attack is evidence for."""

QUESTIONS = {
    "singling out": "Can one person be picked out by values of the release, more often a person in the data than any other?",
    "linkability": "Can two files about the same people be joined through the release?",
    "attribute inference": "Does the release give away an unknown value of a person in the data?",
    "membership": "Can someone tell from the release who was in the data?",
    "replay": "Does the release repeat records of people in the data?",
}
"""What each kind of attack asks, for a reader without prior knowledge."""

SCENARIOS: tuple[dict[str, Any], ...] = (
    {
        "who": "The recipient, or whoever gets the release from them",
        "holds": "the synthetic data and this report",
        "wants": "to find a real person in it, or rows copied from one",
        "cost": "minutes on a laptop",
        "covered": "replay, singling out, distance membership",
    },
    {
        "who": "A data broker",
        "holds": "the release and records of similar people",
        "wants": "to tell who was in the data",
        "cost": "hours; needs reference records",
        "covered": "calibrated, marginal and classifier membership",
    },
    {
        "who": "Someone who knows a few facts about a person",
        "holds": "the release and that person's quasi-identifiers",
        "wants": "an unknown value of that person",
        "cost": "minutes for each person",
        "covered": "attribute inference, linkability",
    },
    {
        "who": "Someone with a leaked copy of part of the real data",
        "holds": "the release and real records",
        "wants": "to prove that a person was used",
        "cost": "a breach elsewhere",
        "covered": "exact and nearest-neighbour replay; the guarantee, where there is one",
    },
    {
        "who": "Someone who knows how the model was built",
        "holds": "the release and the structure of the model",
        "wants": "to tell who was in the data",
        "cost": "expert work",
        "covered": "edge-restricted membership where the engine has a structure; the guarantee, where there is one",
    },
    {
        "who": "An insider at the sender",
        "holds": "the real data, the ledger, the internal files",
        "wants": "anything",
        "cost": "access rights",
        "covered": "not covered: the operator and the machine are trusted",
    },
)
"""Who might attack, with what, and which measurements speak to it; after ISO/IEC 27559, clause 8."""

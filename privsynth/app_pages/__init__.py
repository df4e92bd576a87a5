"""The pages of the app: widgets make a form, the form makes a plan, the library does the rest.

A page computes no figure of its own. Work on private data happens in a process of its own (``worker``), in the temporary
folder of one session (``sessions``); what users wrote is shown as text, never as markup (``elements``).
"""

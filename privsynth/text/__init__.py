"""Free text: models that write it, trained under a person's guarantee, and the prompts that tie it to a row."""

from privsynth.text.base import FittedText, SampledText, TextRecords, TextSynthesizer, fit

__all__ = ["FittedText", "SampledText", "TextRecords", "TextSynthesizer", "fit"]

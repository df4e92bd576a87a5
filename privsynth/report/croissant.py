"""The release described for machines: Croissant 1.1 with its Responsible AI vocabulary (MLCommons), as JSON-LD.

Everything in it is declared by a person, taken from the vendor edition, or computed from the released files. It may be read by
catalogues and loaders; ``croissant.schema.json`` lists the fields that privsynth always writes, because validators only warn about most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from privsynth import __version__
from privsynth.marking import DIGITAL_SOURCE_TYPE
from privsynth.schema import SECONDS, Column, Schema

VERSIONS = ("http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0")

ENCODING_FORMATS = {
    ".csv": "text/csv",
    ".parquet": "application/x-parquet",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

NOT_STATED = "not stated"

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context of Croissant 1.1, and PROV-O."""

_DATA_TYPES = {
    "categorical": "sc:Text",
    "text": "sc:Text",
    "identifier": "sc:Text",
    "integer": "sc:Integer",
    "decimal": "sc:Float",
    "boolean": "sc:Boolean",
}


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A released data file: its table, path within the release, suffix, size, hash, and columns in order."""

    table: str
    path: str
    suffix: str
    bytes: int
    sha256: str
    columns: tuple[str, ...]


def describe(vendor: Mapping[str, Any], schema: Schema, files: Sequence[DataFile], *, publisher: str, licence: str) -> dict[str, Any]:
    """The Croissant description of a release.

    Args:
        vendor: The vendor edition of the report.
        schema: Declared kinds of the columns.
        files: The released data files; a column that the schema lacks is a marker.
        publisher: Who hands the data over, as declared.
        licence: Under which terms, as declared.
    """
    dataset, guarantee = vendor["dataset"], vendor["guarantee"]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "@id": f"urn:x-privsynth:release:{vendor['event_id']}",
        "conformsTo": list(VERSIONS),
        "name": dataset["name"],
        "description": f"Synthetic data in place of {dataset['name']}. {guarantee['sentence']}",
        "url": f"urn:x-privsynth:release:{vendor['event_id']}",
        "license": licence,
        "creator": {"@type": "sc:Organization", "name": publisher},
        "publisher": {"@type": "sc:Organization", "name": publisher},
        "datePublished": vendor["made_on"],
        "version": "1.0.0",
        "citeAs": f"{publisher}: {dataset['name']}, synthetic data, release {vendor['event_id']}, {vendor['made_on']}",
        "keywords": ["synthetic data", *(["differential privacy"] if guarantee["formal"] else [])],
        "isLiveDataset": False,
        "digitalSourceType": DIGITAL_SOURCE_TYPE,
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "prov:wasAssociatedWith": {"@type": "prov:SoftwareAgent", "name": f"privsynth {__version__}, engine {dataset['engine']}"},
        },
        **_responsible(vendor),
        "distribution": [_file(file) for file in files],
        "recordSet": [_record_set(file, schema) for file in files],
    }


def _responsible(vendor: Mapping[str, Any]) -> dict[str, Any]:
    """The Responsible AI fields."""
    dataset = vendor["dataset"]
    invented = [f"{column['name']} ({column['pii']})" for column in vendor["columns"] if column["pii"] is not None]
    secrets = [column["name"] for column in vendor["columns"] if column["secret"]]
    return {
        "rai:dataCollection": "Sampled from a model of a confidential dataset; no record is the record of a person.",
        "rai:dataCollectionType": ["Synthetic"],
        "rai:dataLimitations": [vendor["guarantee"]["sentence"], *vendor["does_not_show"]],
        "rai:personalSensitiveInformation": [
            f"Columns of personal data, never shown to a model and invented: {', '.join(invented) or 'none declared'}.",
            f"Columns declared sensitive, which were modelled: {', '.join(secrets) or 'none declared'}.",
        ],
        "rai:dataUseCases": [f"Purpose, as declared by the sender: {dataset['purpose']}. Recipient: {dataset['recipient']}."],
        "rai:dataReleaseMaintenancePlan": f"To be used until: {dataset['expires'] or NOT_STATED}.",
    }


def _file(file: DataFile) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "contentUrl": file.path,
        "contentSize": f"{file.bytes} B",
        "encodingFormat": ENCODING_FORMATS[file.suffix],
        "sha256": file.sha256,
        "digitalSourceType": DIGITAL_SOURCE_TYPE,
    }


def _record_set(file: DataFile, schema: Schema) -> dict[str, Any]:
    table = schema[file.table]
    return {
        "@type": "cr:RecordSet",
        "@id": file.table,
        "name": file.table,
        "description": "Synthetic records.",
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{file.table}/{name}",
                "name": name,
                "description": _description(table[name] if name in table.names else None),
                "dataType": _data_type(table[name]) if name in table.names else "sc:Text",
                "source": {"fileObject": {"@id": file.path}, "extract": {"column": name}},
            }
            for name in file.columns
        ],
    }


def _data_type(column: Column) -> str:
    if column.kind == "datetime":
        return "sc:Date" if column.step % SECONDS["day"] == 0 else "sc:DateTime"
    return _DATA_TYPES[column.kind]


def _description(column: Column | None) -> str:
    """What happened to a column, from declared facts."""
    if column is None:
        return "Marks every row as synthetic."
    if column.pii is not None:
        return f"Personal data of type {column.pii}, invented."
    return "Identifier, numbered anew." if column.kind == "identifier" else f"Synthesized, {column.kind}."

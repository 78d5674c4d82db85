"""Tables with mixed columns: reading, schema, encoding, decoding."""

from .columns import Column
from .encoding import TableEncoding
from .files import Source, read_parties, read_table
from .schema import Schema, infer_schema

__all__ = ["Column", "Schema", "Source", "TableEncoding", "infer_schema", "read_parties", "read_table"]

"""Tables with mixed columns: reading, schema, encoding, decoding."""

from .columns import Column
from .encoding import TableEncoding
from .files import Source, read_parties, read_table
from .inference import infer_schema
from .schema import Schema

__all__ = ["Column", "Schema", "Source", "TableEncoding", "infer_schema", "read_parties", "read_table"]

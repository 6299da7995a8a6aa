from ._options import add_options
from ._output import Field, csv_lines, label_fields
from ._run import Answer, answer_rows, in_few_digits, predict_with_bundle
from ._source import Row, Rows, folder_rows, is_text_table, state_of, table_rows

__all__ = [
    "Answer",
    "Field",
    "Row",
    "Rows",
    "add_options",
    "answer_rows",
    "csv_lines",
    "folder_rows",
    "in_few_digits",
    "is_text_table",
    "label_fields",
    "predict_with_bundle",
    "state_of",
    "table_rows",
]

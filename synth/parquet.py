"""Parquet files as bytes: the same table always gives the same ones. This module does not know what a table says."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as the bytes of a Parquet file; the same table gives the same bytes."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def fixed_list(rows: Tensor, value_type: pa.DataType) -> pa.Array:
    """Rows (N, K) as a column of fixed-size lists."""
    values = pa.array(rows.contiguous().flatten().numpy()).cast(value_type)
    return pa.FixedSizeListArray.from_arrays(values, rows.shape[1])

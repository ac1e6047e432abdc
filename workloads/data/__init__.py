"""Data sets in memory, split once and for all into train, validation and test."""

from workloads.data.dataset import Dataset, Split
from workloads.data.registry import data_names, load_data

__all__ = ["Dataset", "Split", "data_names", "load_data"]

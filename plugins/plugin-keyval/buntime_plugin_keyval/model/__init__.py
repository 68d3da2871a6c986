"""The model of the store: values, mutations, messages, changes, filters, time, limits, errors."""

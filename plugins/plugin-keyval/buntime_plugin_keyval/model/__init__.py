"""What the store is about: values, mutations, messages, changes, filters, time, limits, errors."""

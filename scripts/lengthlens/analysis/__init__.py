"""From files of samples to tables: values, intervals and controls."""

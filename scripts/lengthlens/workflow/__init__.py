"""What rules and scripts need around the science: file names, resources, GPUs, logs."""

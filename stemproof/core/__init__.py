"""What every room uses and none owns: errors, files, parameters, devices, processes."""

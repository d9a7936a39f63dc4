"""Settings by name, for `--config NAME`; one YAML file each."""

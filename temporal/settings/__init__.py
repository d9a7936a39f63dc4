"""The settings of a run by what they decide; `temporal.config.RunConfig` is all of them."""

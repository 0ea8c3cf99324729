"""The live fold: keeps every read model up to date with the core, parks streams and releases them."""

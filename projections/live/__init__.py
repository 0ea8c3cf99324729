"""The live fold: every read model kept up to date behind the core, and streams that wait or are let go on."""

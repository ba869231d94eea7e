"""Quality per bit: our formats and roundings beside the peers', on two real models."""

"""The compiled core: declares, converts, raises; decides nothing."""

"""The data of a page about results of scenarios: figures, laws, and pictures.

Plain data for the page's scripts; nothing here is specific to a scenario.
"""

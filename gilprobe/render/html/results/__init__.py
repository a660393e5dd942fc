"""The data of a page about results of scenarios: numbers, laws, and which picture shows them best.

Plain data for the page's scripts; nothing here is specific to a scenario.
"""

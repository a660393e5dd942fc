"""The data of a page about traced processes: headline, threads, sites, flame graph, timeline.

Plain data for the page's scripts, clipped and made visible; no markup.
"""

"""The data of a page about traced processes: headline, threads, sites, flame graph, timeline.

Plain data for the page's scripts, with names clipped and escaped; no markup.
"""

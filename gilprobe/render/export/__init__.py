"""Files for other tools: flame graphs, trace viewers, spreadsheets.

One module per format; lines are made on demand. No text for people.
"""

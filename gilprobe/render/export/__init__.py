"""Files for other tools: flame graphs, trace viewers, spreadsheets.

One module a format, each line made from the model when it is asked for. No text for people.
"""

"""Pictures of the model: data in, text out. Nothing here measures, decides or prints."""

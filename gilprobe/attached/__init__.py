"""What runs in a process that gilprobe attaches to: other people's, so it imports little."""

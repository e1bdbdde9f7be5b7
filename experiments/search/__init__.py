"""What search at test time can bring: how much previews say, and what dropping candidates by them keeps."""

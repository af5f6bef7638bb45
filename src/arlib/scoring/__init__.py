"""Images, proposals and a network become scores."""

"""Task files and the collection `mini`, shipped inside the package."""

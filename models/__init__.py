"""The models that come with mlbench, as folders that `static:` opens."""

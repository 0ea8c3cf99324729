"""Hot paths: the requests that come most often are answered before the framework, by the very functions of its routes."""

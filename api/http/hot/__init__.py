"""Hot paths: the requests that come most often are answered before the framework, by the functions of its routes or from memory."""

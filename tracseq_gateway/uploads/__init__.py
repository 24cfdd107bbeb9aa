"""A room: resumable uploads by tus 1.0.0, kept on disk until they are whole, and then handed to their service at once.

``stage`` is the door, ``store`` the directory that all workers of a host share, ``delivery`` what happens when the last
byte is there. How a request reaches a service is not known here: see ``service.upload_delivery``.
"""

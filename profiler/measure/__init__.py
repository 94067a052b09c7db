"""Find out how long a layout takes: one backend a way of knowing, all behind `backend.Backend`."""

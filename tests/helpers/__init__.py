"""What several test modules share: trees, jobs, servers, recorded networks, small trainings."""

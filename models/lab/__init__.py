"""What trains, measures and shows the models: nothing here is needed to use one."""

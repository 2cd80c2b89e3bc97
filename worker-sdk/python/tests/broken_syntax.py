def factory(global_conf):
    return (

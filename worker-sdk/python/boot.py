import sys
def boot(sources):
    from importlib.machinery import ModuleSpec
    class Importer:
        """Serves the modules that came through the descriptor."""
        def find_spec(self, name, path=None, target=None):
            key = name.replace(".", "/")
            package = key + "/__init__" in sources
            key += "/__init__" if package else ""
            if key not in sources:
                return None
            spec = ModuleSpec(name, self, origin="<paster>/" + key + ".py", is_package=package)
            spec.loader_state = key
            return spec
        def create_module(self, spec):
            return None
        def exec_module(self, module):
            spec = module.__spec__
            exec(compile(sources[spec.loader_state], spec.origin, "exec", dont_inherit=True), module.__dict__)
        def get_source(self, name):
            key = name.replace(".", "/")
            return sources.get(key + "/__init__", sources.get(key))
        def is_package(self, name):
            return name.replace(".", "/") + "/__init__" in sources
    sys.meta_path.insert(0, Importer())
    if sys.path and sys.path[0] == "":
        del sys.path[0]
    from paster_worker.__main__ import main
    return main
host.close()
main = boot(sources)
del boot, host, sources, sys
main()

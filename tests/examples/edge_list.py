"""A network as a list of edges: name, two nodes, resistance and reactance in ohm, rating in kA."""

from data.grids.network import GRID_FORMATS, Branch, Bus, GridFormat, Load, Network


def claims(file):
    return file.head.startswith(b"edges of a street")


def read(file, log):
    places, branches = {}, []
    for number, line in enumerate(file.head.decode().splitlines()[1:], 2):
        try:
            name, start, end, r_ohm, x_ohm, limit_ka = line.split()
            at = [places.setdefault(bus, len(places)) for bus in (start, end)]
            branches.append(Branch(name, *at, float(r_ohm), float(x_ohm), limit_ka=float(limit_ka)))
        except ValueError:
            log.add("error", "edge", "an edge has a name, two nodes and three numbers", line=number)
    homes = [Load(f"home at {bus}", i, kw=2.0, kvar=0.5) for bus, i in places.items() if i]
    buses = [Bus(name, vn_kv=0.4) for name in places]
    return Network(
        tuple(buses), tuple(branches), (), tuple(homes), source_bus=0, source_kv=0.4, source_pu=1.0
    )


GRID_FORMATS.register(
    GridFormat("edge_list", "One line an edge: name, nodes, ohms, kA.", claims, read), contract=1
)

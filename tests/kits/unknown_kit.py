"""Files as people get them somewhere in the world, in layouts that no format knows, with what each must lead to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Unknown:
    """A file of no known format.

    Args:
        name: Country and shape.
        text: The file.
        asks: Options that are asked, `--channel` with the column; "" for none.
        channels: What columns, or words of registers, are concluded to hold.
        said: Further conclusions: order, ends, zone, decimal, separator, unit, kind, meter, minutes.
        refused: Code of the finding of a file that is not read.
        encoding: Of the file.
    """

    name: str
    text: str
    asks: tuple[str, ...] = ()
    channels: Mapping[str, str] = field(default_factory=dict)
    said: Mapping[str, object] = field(default_factory=dict)
    refused: str | None = None
    encoding: str = "utf-8"


def asked(text: str) -> tuple[str, ...]:
    """Options, one a line."""
    return tuple(line.strip() for line in text.strip().splitlines())


GERMAN = """Datum;Uhrzeit;Netzbezug [kWh];Netzeinspeisung [kWh]
30.01.2026;23:15;0,184;0
30.01.2026;23:30;0,201;0
30.01.2026;23:45;0,155;0
31.01.2026;00:00;0,149;0
31.01.2026;00:15;0,162;0
"""

UNKNOWN = [
    Unknown(
        "germany, import and export of a grid meter",
        GERMAN,
        ("--stamp", "--zone"),
        {"Netzbezug [kWh]": "import", "Netzeinspeisung [kWh]": "export"},
        {"order": "dmy", "decimal": ",", "separator": ";", "unit": "kWh", "kind": "energy"},
    ),
    Unknown(
        "germany, lines above the header, a row of units, a sum below",
        """Kundenportal Stadtwerke;;
Zeitraum;01.01.2026 - 31.01.2026;
;;
Zeitstempel von;Zeitstempel bis;Wirkarbeit Bezug
;;kWh
13.01.2026 00:00;13.01.2026 00:15;0,084
13.01.2026 00:15;13.01.2026 00:30;0,09
13.01.2026 00:30;13.01.2026 00:45;0,081
13.01.2026 00:45;13.01.2026 01:00;0,077
Summe;;0,332
""",
        ("--channel Wirkarbeit Bezug", "--zone"),
        said={"order": "dmy", "ends": "start", "unit": "kWh", "footer": "Summe"},
    ),
    Unknown(
        "austria, one column of consumption, quarter hours that end at 24:00",
        """Datum;Zeit bis;Verbrauch (kWh);Status
14.06.2025;23:15;0,09;W
14.06.2025;23:30;0,12;W
14.06.2025;23:45;0,08;E
14.06.2025;24:00;0,11;W
15.06.2025;00:15;0,1;W
15.06.2025;00:30;0,07;W
""",
        ("--channel Verbrauch (kWh)", "--zone"),
        said={"ends": "end", "order": "dmy", "quality": {"measured": ("W",), "estimated": ("E",)}},
    ),
    Unknown(
        "switzerland, codes of registers as names of columns, apostrophes",
        """Zeitstempel;1-1:1.29.0 (kWh);1-1:2.29.0 (kWh)
2026-05-20 10:00;0.25;1'001.5
2026-05-20 10:15;0.21;990.25
2026-05-20 10:30;0.27;1'010.75
2026-05-20 10:45;0.22;1'000
""",
        ("--stamp", "--zone"),
        {"1-1:1.29.0 (kWh)": "import", "1-1:2.29.0 (kWh)": "export"},
        {"order": "ymd", "thousands": "'"},
    ),
    Unknown(
        "france, power in W, the unit in a line above",
        """Point de livraison;XXXXXXXX
Unité;W
Horodate;Puissance soutirée
2026-01-10T00:30:00+01:00;642
2026-01-10T01:00:00+01:00;598
2026-01-10T01:30:00+01:00;611
2026-01-10T02:00:00+01:00;590
""",
        ("--channel Puissance soutirée", "--stamp"),
        said={"unit": "W", "kind": "power", "zone": ""},
    ),
    Unknown(
        "france, tariffs beside each other and their total",
        """Date;Heure;Heures creuses soutirage (kWh);Heures pleines soutirage (kWh);Total soutirage (kWh)
15/02/2026;21:00;0;0,8;0,8
15/02/2026;21:30;0,1;0,7;0,8
15/02/2026;22:00;0,5;0,2;0,7
15/02/2026;22:30;0,4;0,1;0,5
15/02/2026;23:00;0,6;0,1;0,7
15/02/2026;23:30;0,2;0,1;0,3
16/02/2026;00:00;0,4;0,3;0,7
16/02/2026;00:30;0,3;0,2;0,5
""",
        asked("""--channel Heures creuses soutirage (kWh)
        --channel Heures pleines soutirage (kWh)
        --stamp
        --zone"""),
        {"Total soutirage (kWh)": "ignore"},
    ),
    Unknown(
        "netherlands, counters of two tariffs and two directions",
        """tijd,Afname tarief 1 [kWh],Afname tarief 2 [kWh],Teruglevering tarief 1 [kWh],Teruglevering tarief 2 [kWh]
"""
        + "".join(
            f"2026-03-01 {q // 4:02}:{q % 4 * 15:02},{8350.274 + 0.05 * q:.3f},4650.277,"
            f"{3095.077 + 0.01 * q:.3f},7450.128\n"
            for q in range(28)
        ),
        ("--zone",),
        {
            "Afname tarief 1 [kWh]": "import.1",
            "Afname tarief 2 [kWh]": "import.2",
            "Teruglevering tarief 1 [kWh]": "export.1",
            "Teruglevering tarief 2 [kWh]": "export.2",
        },
        {"kind": "counter"},
    ),
    Unknown(
        "belgium, registers one below the other",
        """Tijdstip;EAN;Register;Waarde;Eenheid;Kwaliteit
28/03/2026 10:00;541448800000000001;Afname dag;0,2;kWh;Gemeten
28/03/2026 10:00;541448800000000001;Injectie dag;0,5;kWh;Gemeten
28/03/2026 10:15;541448800000000001;Afname dag;0,1;kWh;Geschat
28/03/2026 10:15;541448800000000001;Injectie dag;0,6;kWh;Gemeten
28/03/2026 10:30;541448800000000001;Afname dag;0,15;kWh;Gemeten
28/03/2026 10:30;541448800000000001;Injectie dag;0,55;kWh;Gemeten
28/03/2026 10:45;541448800000000001;Afname dag;0,12;kWh;Gemeten
28/03/2026 10:45;541448800000000001;Injectie dag;0,4;kWh;Gemeten
""",
        ("--stamp", "--zone"),
        {"Afname dag": "import", "Injectie dag": "export"},
        {"meter": "EAN", "unit": "kWh", "quality": {"measured": ("Gemeten",), "estimated": ("Geschat",)}},
    ),
    Unknown(
        "italy, 96 quarter hours across the top, gas nowhere",
        "Data;"
        + ";".join(f"{q // 4:02}:{q % 4 * 15:02}" for q in range(96))
        + "\n"
        + "".join(
            f"{d}/02/2026;" + ";".join(f"0,{(q * 37 + d) % 90 + 10}" for q in range(96)) + "\n"
            for d in range(13, 17)
        ),
        ("--channel values", "--stamp", "--unit", "--zone"),
        said={"minutes": 15, "order": "dmy", "kind": "energy"},
    ),
    Unknown(
        "spain, hours 1 to 25 of each day, consumption and surplus",
        """CUPS;Fecha;Hora;Consumo_kWh;Excedentes_kWh;Metodo_obtencion
"""
        + "".join(
            f"ES00000000;{d}/05/2026;{h};0,{h * 37 % 90 + 10};{'0,5' if 9 < h < 17 else '0'};{'R' if h % 5 else 'E'}\n"
            for d in (19, 20)
            for h in range(1, 25)
        ),
        ("--channel Consumo_kWh", "--channel Excedentes_kWh", "--zone"),
        said={"minutes": 60, "position": "Hora", "meter": "CUPS", "unit": "kWh"},
    ),
    Unknown(
        "portugal, power and the end of the quarter hour",
        """Data,Hora fim,Potência ativa consumida (kW),Potência reativa indutiva (kVAr)
2026/05/13,00:15,1.5,0.2
2026/05/13,00:30,1.2,0.1
2026/05/13,00:45,1.4,0.2
2026/05/13,01:00,1.1,0.1
""",
        ("--channel Potência ativa consumida (kW)", "--zone"),
        {"Potência reativa indutiva (kVAr)": "ignore"},
        {"unit": "kW", "kind": "power", "order": "ymd", "ends": "end"},
    ),
    Unknown(
        "denmark, kWh with a decimal comma, dates with a dash",
        """Målepunkt;Fra dato;Til dato;Mængde;Måleenhed;Kvalitet;Type
571313100000000000;13-01-2026 00:00;13-01-2026 01:00;0,41;kWh;Målt;Forbrug
571313100000000000;13-01-2026 01:00;13-01-2026 02:00;0,38;kWh;Målt;Forbrug
571313100000000000;13-01-2026 02:00;13-01-2026 03:00;0,44;kWh;Estimeret;Forbrug
571313100000000000;13-01-2026 03:00;13-01-2026 04:00;0,36;kWh;Målt;Forbrug
""",
        ("--channel Forbrug", "--zone"),
        said={"ends": "start", "meter": "Målepunkt", "order": "dmy"},
    ),
    Unknown(
        "norway, production that may be what is fed in",
        """Fra;Til;KWH 60 Forbruk;KWH 60 Produksjon
13.04.2026 00:00;13.04.2026 01:00;1,2;0
13.04.2026 01:00;13.04.2026 02:00;1,1;0
13.04.2026 02:00;13.04.2026 03:00;1,3;0
13.04.2026 03:00;13.04.2026 04:00;1,0;0
""",
        ("--channel KWH 60 Forbruk", "--channel KWH 60 Produksjon", "--zone"),
        said={"unit": "kWh", "ends": "start", "order": "dmy"},
    ),
    Unknown(
        "sweden, one value without a unit, beside a temperature",
        """Tid\tFörbrukning\tTemperatur
2026-01-01 00:00\t2,41\t-3,5
2026-01-01 01:00\t2,38\t-3,6
2026-01-01 02:00\t2,52\t-3,9
2026-01-01 03:00\t2,29\t-4,1
""",
        ("--channel Förbrukning", "--stamp", "--unit", "--zone"),
        {"Temperatur": "ignore"},
        {"separator": "\t", "decimal": ","},
    ),
    Unknown(
        "finland, semicolons, costs beside energy, UTC in the name",
        """Alkuaika (UTC);Kulutus (kWh);Hinta (snt/kWh);Kustannus (€)
2026-02-13T22:00Z;1,5;6,2;0,09
2026-02-13T23:00Z;1,4;6,1;0,09
2026-02-14T00:00Z;1,6;5,9;0,09
2026-02-14T01:00Z;1,3;5,8;0,08
""",
        ("--channel Kulutus (kWh)",),
        {"Hinta (snt/kWh)": "ignore", "Kustannus (€)": "ignore"},
        {"zone": "", "ends": "start"},
    ),
    Unknown(
        "poland, import and export of the grid, Windows code page",
        """Data;Godzina;Energia pobrana z sieci [kWh];Energia oddana do sieci [kWh]
2026-06-13;01:00;0,5;0
2026-06-13;02:00;0,4;0
2026-06-13;03:00;0,6;0,1
2026-06-13;04:00;0,3;0,2
Źródło;;;
""",
        ("--encoding", "--kind", "--stamp", "--zone"),
        {"Energia pobrana z sieci [kWh]": "import", "Energia oddana do sieci [kWh]": "export"},
        encoding="cp1250",
    ),
    Unknown(
        "czech republic, power of the grid in both signs",
        """Datum;Čas od;Výkon sítě (W)
13.07.2026;10:00;-1500
13.07.2026;10:15;-1320
13.07.2026;10:30;240
13.07.2026;10:45;-800
""",
        ("--channel Výkon sítě (W)", "--zone"),
        said={"unit": "W", "kind": "power"},
    ),
    Unknown(
        "britain, day and month both possible in every row",
        """Date,Time,Import (kWh),Export (kWh)
01/02/2026,00:00,0.2,0
01/02/2026,00:30,0.1,0
01/02/2026,01:00,0.3,0
02/02/2026,00:00,0.2,0
""",
        ("--dates", "--stamp", "--zone"),
        {"Import (kWh)": "import", "Export (kWh)": "export"},
        {"order": None},
    ),
    Unknown(
        "united states, prose above, times with AM and PM, net of both directions",
        """Electric usage,,
"Name, account and address left out",,
,,
DATE,START TIME,NET USAGE (kWh),COST
1/13/2026,12:00 AM,0.41,$0.10
1/13/2026,1:00 AM,-0.3,$0.00
1/13/2026,2:00 AM,0.38,$0.09
1/13/2026,3:00 AM,0.44,$0.11
""",
        ("--channel NET USAGE (kWh)", "--kind", "--zone"),
        {},
        {"order": "mdy", "ends": "start", "unit": "kWh"},
    ),
    Unknown(
        "united states, names of months",
        """Timestamp,Energy (Wh)
"Jan 13, 2026 12:00 AM",0
"Jan 13, 2026 12:15 AM",12
"Jan 13, 2026 12:30 AM",7
"Jan 13, 2026 12:45 AM",9
"Jan 13, 2026 1:00 AM",3
""",
        ("--channel Energy (Wh)", "--stamp", "--zone"),
        said={"unit": "Wh", "kind": "energy", "order": "dmy"},
    ),
    Unknown(
        "australia, 48 half hours that end at 24:00, in a row for each register",
        "NMI,Date,Stream,Unit,"
        + ",".join(f"{h // 2:02}:{h % 2 * 30:02}" for h in range(1, 49))
        + "\n"
        + "".join(
            f"X000,2026-01-{d},{stream},kWh," + ",".join(f"{(h * 5 + d) % 9 / 10}" for h in range(48)) + "\n"
            for d in (13, 14)
            for stream in ("Import", "Export")
        ),
        ("--zone",),
        {"Import": "import", "Export": "export"},
        {"ends": "end", "minutes": 30, "meter": "NMI"},
    ),
    Unknown(
        "canada, seconds since 1970",
        """epoch,import_wh,export_wh
1767225600,120,0
1767226500,98,0
1767227400,133,0
1767228300,101,0
""",
        ("--stamp",),
        {"import_wh": "import", "export_wh": "export"},
        {"zone": "", "unit": "Wh"},
    ),
    Unknown(
        "inverter, production alone",
        """Time;PV generation (W);Inverter temperature
2026-06-13 12:00:00;3120;41
2026-06-13 12:05:00;3080;42
2026-06-13 12:10:00;3240;42
2026-06-13 12:15:00;2990;43
""",
        ("--channel PV generation (W)", "--stamp", "--zone"),
        {"Inverter temperature": "ignore"},
        {"kind": "power"},
    ),
    Unknown(
        "energy manager, load = import - export + production in every row",
        "Zeit,Hausverbrauch (Wh),Netzbezug (Wh),Netzeinspeisung (Wh),PV-Erzeugung (Wh)\n"
        + "".join(
            f"2026-06-13 {h:02}:00,{use},{max(use - sun, 0)},{max(sun - use, 0)},{sun}\n"
            for h, (use, sun) in enumerate(
                [
                    (300, 0),
                    (280, 0),
                    (310, 0),
                    (290, 50),
                    (305, 120),
                    (320, 300),
                    (400, 500),
                    (350, 900),
                    (300, 1200),
                    (310, 1300),
                    (290, 1250),
                    (330, 1000),
                    (280, 700),
                ]
            )
        ),
        ("--stamp", "--zone"),
        {
            "Hausverbrauch (Wh)": "load",
            "Netzbezug (Wh)": "import",
            "Netzeinspeisung (Wh)": "export",
            "PV-Erzeugung (Wh)": "pv",
        },
    ),
    Unknown(
        "gas in kWh, which only its title says",
        """Gas consumption,
Start,Consumption (kWh)
2026-01-13T00:00:00Z,4.1
2026-01-13T00:30:00Z,3.9
2026-01-13T01:00:00Z,4.3
2026-01-13T01:30:00Z,4.0
""",
        ("--channel Consumption (kWh)",),
    ),
    Unknown(
        "gas in cubic metres",
        """Time,Volume (m3)
2026-01-13T00:00:00Z,0.4
2026-01-13T01:00:00Z,0.3
2026-01-13T02:00:00Z,0.5
""",
        refused="no_energy",
    ),
    Unknown(
        "daily totals",
        """Datum;Verbrauch (kWh)
13.01.2026;8,1
14.01.2026;9,3
15.01.2026;7,7
""",
        refused="daily",
    ),
    Unknown(
        "monthly peaks",
        """Von;Bis;Spitzenleistung (kW)
01.01.2026 00:00;01.02.2026 00:00;4,2
01.02.2026 00:00;01.03.2026 00:00;3,9
01.03.2026 00:00;01.04.2026 00:00;4,6
""",
        refused="daily",
    ),
    Unknown(
        "no header at all",
        """2026-01-13 00:00;0,41;0
2026-01-13 01:00;0,38;0
2026-01-13 02:00;0,44;0
2026-01-13 03:00;0,36;0
""",
        asked("""--channel column 2
        --channel column 3
        --stamp
        --unit
        --zone"""),
    ),
    Unknown(
        "points that are thousands or decimals",
        """Zeit;Netzbezug (Wh);Netzeinspeisung (Wh)
2026-01-13 00:00;1.250;0
2026-01-13 01:00;1.310;0
2026-01-13 02:00;1.180;0
2026-01-13 03:00;1.240;0
""",
        ("--kind", "--recipe FILE", "--stamp", "--zone"),
        {"Netzbezug (Wh)": "import", "Netzeinspeisung (Wh)": "export"},
    ),
    Unknown(
        "two columns of homes or registers that nothing explains",
        """Time,Node,kWh
2026-01-13T00:00:00Z,alpha,0.2
2026-01-13T00:00:00Z,beta,0.4
2026-01-13T00:30:00Z,alpha,0.1
2026-01-13T00:30:00Z,beta,0.5
2026-01-13T01:00:00Z,alpha,0.3
2026-01-13T01:00:00Z,beta,0.3
""",
        ("--channel kWh", "--recipe FILE", "--stamp"),
    ),
    Unknown(
        "a letter to the customer",
        """Dear customer,

please find attached your readings; they are correct.
With kind regards
""",
        refused="no_table",
    ),
]

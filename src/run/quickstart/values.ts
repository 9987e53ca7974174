/**
 * @file Names, goods, towns and amounts of the quickstart's orders, in two halves that share nothing: one to train on,
 * one to be measured on. Must not know phrasings. The lists were written for this project.
 */

export type Part = 'train' | 'heldout'

/** What an order is about; every list is disjoint between the two parts, and so is each word in it. */
export interface Values {
  firstNames: readonly string[]
  surnames: readonly string[]
  kinds: readonly string[]
  goods: readonly string[]
  towns: readonly string[]
  /** Whole amounts from 2 to 99. */
  amounts: readonly number[]
}

const words = (text: string): string[] => text.trim().split(/\s+/)
const phrases = (text: string): string[] => text.split(',').map((phrase) => phrase.trim())

/** Amounts in the held-out rows leave 3 when divided by 7, those in training never do. */
const amounts = (heldout: boolean): number[] =>
  Array.from({ length: 98 }, (_, i) => i + 2).filter((n) => (n % 7 === 3) === heldout)

const train: Values = {
  firstNames: words(`
    Alice Amara Anders Anita Anton Astrid Aylin Bashir Beatriz Bjorn Bruno Camila Carmen Cedric Chiara Chloe Claire Connor
    Dalia Damian Daniel Darius Deepa Diego Dmitri Edith Elena Elias Emeka Emma Erik Esther Farid Felix Fiona Florian Freya
    Gabriel Georgia Gloria Hakim Hanna Harald Hector Helen Henry Imani Indira Irene Isaac Ivan Jamal Janet Jasper Joanna
    Joseph Judith Julian Kamal Karen Katya Kevin Khalid Laura Leandro Leila Leonard Lucia Magnus Malik Marcel Maria Marta
    Martin Maxim Megan Miriam Mohamed Monica Nadia Nathan Nikolai Nina Noah Olga Oscar Pablo Patrick Pedro Petra Philip Priya
    Quentin Rachel Rafael Ravi Rebecca Ricardo Robert Ruth Sabine Samir Sandra Sergio Silvia Simon Sofia Stefan Susan Tamara
    Tariq Theo Thomas Tobias Valeria Victor Walter Wanda Xavier Yusuf Zainab Zoe`),
  surnames: words(`
    Abbott Adeyemi Almeida Andersson Archer Banerjee Barros Bauer Becker Bennett Berger Bianchi Blake Bondarenko Bowen Brandt
    Brennan Carvalho Castillo Chandra Chen Clarke Costa Cruz Dalton Davies Delgado Dietrich Dubois Duncan Eriksen Esposito
    Farrell Fischer Fleming Flores Fontaine Foster Garcia Gardner Gibson Gomez Graham Grant Greco Hansen Harris Hassan Hayes
    Herrera Hoffman Holmes Hughes Ibrahim Ivanov Jansen Jensen Kapoor Kaya Keller Khan Klein Kovacs Kowalski Kumar Lambert
    Larsen Lehmann Lindgren Lopez Maher Marino Martinez Mbeki Mehta Meyer Molina Moreau Morgan Murphy Nakamura Navarro Nguyen
    Novak Nowak Okafor Olsen Ortega Osei Parker Patel Perez Petrov Popescu Quinn Ramirez Reyes Ricci Rossi Russo Santos Sato
    Schmidt Shapiro Sharma Silva Sokolov Suarez Tanaka Taylor Torres Tran Turner Vargas Vasquez Vogel Wagner Walsh Weber
    Winter Wong Yamada Yilmaz Zimmer`),
  kinds: words(`
    oak steel cotton leather glass marble plastic linen paper rubber bamboo wicker ceramic velvet canvas aluminium cedar denim
    enamel felt granite jute maple nylon pine satin slate titanium walnut wax double single folding portable blank ruled
    reusable washable wireless electric`),
  goods: phrases(`
    benches, blankets, bookshelves, bottles, bowls, boxes, bracelets, cabinets, cameras, carpets, chairs, clocks, coasters,
    containers, curtains, cushions, desks, dishes, dressers, envelopes, folders, forks, frames, gloves, handles, hangers,
    heaters, helmets, jackets, jars, jugs, kettles, keyboards, knives, lampshades, magnets, mats, mattresses, microphones,
    mugs, napkins, notebooks, paddles, pans, pencils, pillows, planters, plates, postcards, posters, printers, racks, ribbons,
    rulers, sandals, scarves, screens, screws, shelves, shirts, slippers, socks, sofas, speakers, stools, suitcases, tables,
    teapots, thermometers, tiles, towels, trays, umbrellas, vases, wallets, watches`),
  towns: phrases(`
    Aarhus, Accra, Athens, Austin, Bamako, Barcelona, Basel, Belgrade, Bergen, Berlin, Bogota, Boston, Bristol, Brussels,
    Budapest, Cairo, Calgary, Caracas, Chennai, Chicago, Cologne, Cordoba, Dakar, Dallas, Denver, Dresden, Dublin, Durban,
    Edinburgh, Florence, Frankfurt, Geneva, Ghent, Glasgow, Hamburg, Hanoi, Harare, Helsinki, Istanbul, Jakarta, Kampala,
    Karachi, Krakow, Kyoto, Lagos, Leeds, Lima, Lisbon, London, Lyon, Madrid, Malaga, Manila, Marseille, Melbourne, Memphis,
    Milan, Montreal, Mumbai, Munich, Nairobi, Nantes, Naples, New York, Odense, Osaka, Oslo, Ottawa, Palermo, Paris, Perth,
    Phoenix, Prague, Quito, Riga, Rome, Rotterdam, San Diego, Santiago, Seattle, Seoul, Seville, Singapore, Sofia, Stockholm,
    Stuttgart, Sydney, Tampere, Tirana, Tokyo, Toronto, Trieste, Tunis, Turin, Utrecht, Valencia, Vienna, Vilnius, Warsaw,
    Zagreb, Zurich`),
  amounts: amounts(false),
}

const heldout: Values = {
  firstNames: words(`
    Agnes Albert Bella Boris Celeste Clara Dominic Dorothy Ebony Eleanor Fabian Francesca Gareth Gwen Hana Horace Ines Ingrid
    Jerome Juno Kenji Kirsten Lars Lorenzo Mabel Marius Naomi Nestor Odette Orlando Paloma Percy Renata Roland Salma Sven
    Thelma Ursula Vincent Yvonne`),
  surnames: words(`
    Aldridge Baptiste Calder Cavendish Dvorak Eastman Falk Ferrara Gallagher Goldberg Haddad Hernandez Iqbal Jacobs Kipling
    Kruger Lachance Lombardi Marchetti Mendoza Nasser Norris Oduya Pashkova Pereira Quigley Radcliffe Romero Salazar Sorensen
    Takeda Thornton Ueda Vance Verhoeven Whitaker Wozniak Xiang Youssef Zeller`),
  kinds: words(
    'birch bronze cashmere chrome corduroy pewter crystal flannel hemp mahogany porcelain silk teak tin tweed vinyl',
  ),
  goods: phrases(`
    aprons, armchairs, backpacks, barrels, binders, candlesticks, drawers, earrings, goblets, hammocks, hoses, inkwells,
    ladles, markers, necklaces, ornaments, pitchers, pliers, puppets, saucers, scissors, skillets, statues, sweaters,
    tablecloths, toasters, tongs, trolleys, trousers, wardrobes`),
  towns: phrases(`
    Adelaide, Antwerp, Bilbao, Brisbane, Bucharest, Casablanca, Copenhagen, Delhi, Detroit, Dortmund, Galway, Genoa,
    Granada, Havana, Houston, Innsbruck, Kigali, Leipzig, Lucerne, Lusaka, Malmo, Minsk, Nagoya, Oxford, Porto, Reykjavik,
    Salzburg, Sapporo, Tallinn, Tampa, Toulouse, Uppsala, Verona, Windhoek, Yerevan`),
  amounts: amounts(true),
}

export const values: Readonly<Record<Part, Values>> = { train, heldout }

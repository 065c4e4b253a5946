/* words.c - see words.h. */
#include "words.h"

const char *const source_names[SOURCES] = {"bill", "app", "minipro", "sousuo", "spm"};

const char *const status_words[STATUSES] = {"paid", "pending", "refunded", "failed"};

const char *const merchant_fronts[MERCHANT_FRONTS] = {
    "Alder",  "Birch",  "Cedar", "Dover",  "Ember", "Fern",  "Gale",   "Hazel",
    "Iris",   "Jasper", "Kite",  "Linden", "Maple", "North", "Ocean",  "Pearl",
    "Quill",  "Raven",  "Stone", "Thorn",  "Umber", "Vale",  "Willow", "Xeno",
    "Yarrow", "Zephyr", "Amber", "Bright", "Coral", "Dawn",  "East",   "Frost"};
const char *const merchant_ends[MERCHANT_ENDS] = {
    "hall", "mart",  "house", "works", "corner", "lane",  "point",  "yard",
    "bay",  "field", "gate",  "crest", "ridge",  "brook", "square", "port"};

const char *const search_tails[SEARCH_TAILS] = {"nearby",  "price", "reviews", "today",
                                                "opening", "best",  "how",     "compare"};
const char *const page_words[PAGES] = {"home",    "channel", "list",  "detail",
                                       "results", "profile", "inbox", "cart"};
const char *const block_words[BLOCKS] = {"banner", "card", "feed",    "popup",
                                         "tab",    "icon", "sidebar", "footer"};
const char *const day_parts[DAY_PARTS] = {"night", "dawn",      "morning",
                                          "noon",  "afternoon", "evening"};

const topic_words topic_table[TOPICS] = {
    {"dining",
     {"spicy", "quiet", "family", "corner"},
     {"hotpot", "bistro", "bakery", "cafe", "grill", "buffet", "ramen", "pizzeria", "steakhouse",
      "teahouse", "diner", "noodles", "dumplings", "barbecue", "seafood", "brunch"},
     {"visited", "browsed", "paid", "saved", "rated", "booked", "recommended", "hosted"}},
    {"takeout",
     {"hot", "cold", "large", "vegan"},
     {"burger", "salad", "curry", "sushi", "wrap", "soup", "rice", "sandwich", "chicken", "taco",
      "juice", "coffee", "dessert", "breakfast", "lunchbox", "smoothie"},
     {"browsed", "viewed", "compared", "ordered", "saved", "rated", "reordered", "gifted"}},
    {"transit",
     {"early", "crowded", "express", "local"},
     {"metro", "bus", "tram", "ferry", "shuttle", "railcard", "bikeshare", "carpool", "taxi",
      "interchange", "platform", "turnstile", "timetable", "ticket", "commute", "nightbus"},
     {"checked", "planned", "scanned", "rode", "topped", "shared", "renewed", "reported"}},
    {"travel",
     {"coastal", "cheap", "mountain", "weekend"},
     {"flight", "hotel", "hostel", "resort", "museum", "island", "temple", "lake", "castle",
      "cruise", "camping", "visa", "luggage", "guidebook", "roadtrip", "beach"},
     {"browsed", "compared", "saved", "booked", "reviewed", "shared", "cancelled", "upgraded"}},
    {"movie",
     {"new", "classic", "animated", "foreign"},
     {"thriller", "comedy", "drama", "western", "musical", "documentary", "premiere", "matinee",
      "trailer", "sequel", "festival", "multiplex", "popcorn", "romance", "horror", "biopic"},
     {"browsed", "searched", "shared", "watched", "rated", "booked", "reviewed", "hosted"}},
    {"concert",
     {"live", "indie", "symphonic", "acoustic"},
     {"rock", "jazz", "opera", "orchestra", "festival", "recital", "choir", "tour", "arena", "folk",
      "techno", "rap", "ballet", "quartet", "gala", "encore"},
     {"browsed", "followed", "saved", "shared", "clicked", "reminded", "bought", "reviewed"}},
    {"games",
     {"ranked", "casual", "puzzle", "team"},
     {"chess", "farm", "racing", "cards", "quest", "tower", "soccer", "trivia", "mahjong", "arcade",
      "fishing", "kingdom", "bubbles", "snooker", "island", "ninja"},
     {"played", "viewed", "visited", "liked", "commented", "earned", "posted", "won"}},
    {"health",
     {"daily", "senior", "gentle", "sports"},
     {"clinic", "pharmacy", "vitamins", "yoga", "dentist", "checkup", "gym", "running", "sleep",
      "diet", "vaccine", "therapy", "insurance", "eyecare", "massage", "steps"},
     {"viewed", "recorded", "booked", "paid", "joined", "shared", "renewed", "consulted"}},
    {"forest",
     {"young", "rare", "desert", "river"},
     {"pine", "willow", "oak", "poplar", "cypress", "elm", "birch", "energy", "seedling", "meadow",
      "wetland", "leaves", "saxaul", "spruce", "reserve", "orchard"},
     {"viewed", "passed", "read", "entered", "collected", "watered", "planted", "donated"}},
    {"brand",
     {"official", "limited", "new", "member"},
     {"sneakers", "perfume", "watch", "handbag", "lipstick", "jacket", "phone", "headphones",
      "sunglasses", "laptop", "skincare", "toys", "furniture", "camera", "kitchenware", "jewelry"},
     {"viewed", "searched", "followed", "clicked", "claimed", "joined", "redeemed", "reviewed"}},
    {"discount",
     {"flash", "seasonal", "double", "clearance"},
     {"coupon", "voucher", "bundle", "rebate", "sale", "cashback", "groupbuy", "lottery", "points",
      "outlet", "markdown", "bargain", "refill", "multipack", "sampler", "freebie"},
     {"viewed", "compared", "shared", "clicked", "claimed", "joined", "stacked", "redeemed"}},
    {"finance",
     {"monthly", "instant", "fixed", "shared"},
     {"rent", "salary", "loan", "savings", "fund", "bond", "transfer", "utilities", "mortgage",
      "creditcard", "tax", "pension", "gold", "budget", "tuition", "remittance"},
     {"paid", "checked", "moved", "deposited", "withdrew", "invested", "borrowed", "repaid"}},
    {"account",
     {"main", "second", "work", "old"},
     {"settings", "password", "device", "address", "card", "invoice", "privacy", "language",
      "message", "notice", "avatar", "contacts", "storage", "backup", "help", "security"},
     {"opened", "login", "viewed", "changed", "linked", "verified", "removed", "restored"}},
};

const char *const how_often[HOW_OFTEN] = {"once",   "twice", "often",   "daily",
                                          "weekly", "again", "briefly", "long"};

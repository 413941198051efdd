-- Names for what is used often.
local call = redis.call
local structPack, structUnpack, floor, ceil = struct.pack, struct.unpack, math.floor, math.ceil

"""Exact clearing of a horizon with orders that are accepted whole or not at all: a search whose proof numpy checks.

What makes it exact, with lumps of any family, partial shares, flows and storages. Let A be a set of accepted lumps,
W(A) the most welfare with every lump of A at its least share or above, and R(A) the same with shares from 0. A is
supported, so that prices exist at which every other order wants what it gets and no accepted lump loses (with the
accepted lumps below it, where its children depend on it), if and only if R(A) = W(A): the dual prices of R(A) are those
prices. R never falls as A grows. Hence a part of the tree with the accepted lumps F and a bound U on its welfare holds
no supported set where R(F) > U: such a set A would have W(A) = R(A) >= R(F) > U.
"""

using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace VllmNative.Cache.Disk;

/// <summary>
/// The hashes of a path's blocks, each over its predecessor's hash and its own tokens (little-endian 32-bit ids), computed when
/// they are asked for: a lookup that misses at once hashes one block, however long the prompt.
/// </summary>
internal sealed class HashChain
{
    private readonly int[] _tokens;
    private readonly int _blockSize;
    private readonly BlockHash _root;
    private readonly BlockHash[] _hashes;
    private readonly byte[] _input;
    private int _known;

    /// <param name="scope">Scope of the path.</param>
    /// <param name="root">Its hash, <see cref="PrefixScope.Root"/>.</param>
    /// <param name="tokens">Tokens of full blocks; copied.</param>
    /// <param name="blockSize">Tokens in a block.</param>
    internal HashChain(PrefixScope scope, in BlockHash root, ReadOnlySpan<int> tokens, int blockSize)
    {
        Scope = scope;
        _root = root;
        _tokens = tokens.ToArray();
        _blockSize = blockSize;
        _hashes = new BlockHash[tokens.Length / blockSize];
        _input = new byte[BlockHash.Size + (sizeof(int) * blockSize)];
    }

    internal PrefixScope Scope { get; }

    internal ReadOnlySpan<int> Tokens => _tokens;

    /// <summary>When the files of the path's blocks were marked as used, all of them; in <see cref="Environment.TickCount64"/>.</summary>
    internal long MarkedAt { get; set; } = long.MinValue;

    /// <summary>Hash of a block, by its index on the path.</summary>
    internal BlockHash this[int block]
    {
        get
        {
            while (_known <= block)
            {
                _hashes[_known] = Next(_known == 0 ? _root : _hashes[_known - 1], _tokens.AsSpan(_known * _blockSize, _blockSize));
                _known++;
            }

            return _hashes[block];
        }
    }

    /// <summary>Takes over what another chain knows of the first blocks, which must be the same in both.</summary>
    internal void TakeOver(HashChain other, int blocks)
    {
        MarkedAt = other.MarkedAt;
        _known = Math.Min(blocks, other._known);
        other._hashes.AsSpan(0, _known).CopyTo(_hashes);
    }

    private BlockHash Next(in BlockHash previous, ReadOnlySpan<int> tokens)
    {
        previous.CopyTo(_input);
        MemoryMarshal.AsBytes(tokens).CopyTo(_input.AsSpan(BlockHash.Size));
        Span<byte> digest = stackalloc byte[BlockHash.Size];
        SHA256.HashData(_input, digest);
        return new BlockHash(digest);
    }
}

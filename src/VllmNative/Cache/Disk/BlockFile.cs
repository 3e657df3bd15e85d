using System.Buffers.Binary;
using Microsoft.Win32.SafeHandles;

namespace VllmNative.Cache.Disk;

/// <summary>What a look at a block's file gave.</summary>
internal enum BlockFileState
{
    /// <summary>There is none.</summary>
    Missing,

    /// <summary>It is what was written, every bit.</summary>
    Intact,

    /// <summary>It bears the name of a block and is not that block.</summary>
    Damaged,
}

/// <summary>
/// One block on disk: 4 bytes magic, version (u32), payload length (i64), hash (32 bytes), checksum (16), then the payload; numbers
/// are little-endian. A reader builds the header that it expects and compares, so no bit of a file goes unchecked.
/// </summary>
internal static class BlockFile
{
    internal const int HeaderBytes = 48 + BlockChecksum.Size;

    private const uint Version = 1;

    private static ReadOnlySpan<byte> Magic => "VNKV"u8;

    /// <summary>Writes a file that must not exist yet.</summary>
    internal static void Write(string path, in BlockHash hash, ReadOnlySpan<byte> payload)
    {
        Span<byte> header = stackalloc byte[HeaderBytes];
        FillHeader(header, hash, payload);
        FileStreamOptions options = new() { Mode = FileMode.CreateNew, Access = FileAccess.Write, Share = FileShare.Read, BufferSize = 0 };
        if (!OperatingSystem.IsWindows())
        {
            // K and V tell the prompt they came from: nobody else's to read.
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        using FileStream file = new(path, options);
        file.Write(header);
        file.Write(payload);
    }

    /// <summary>Reads a file of exactly the payload's length. Unless the file is intact, what the payload holds afterwards is arbitrary.</summary>
    /// <param name="path">The file.</param>
    /// <param name="hash">The block that it should hold.</param>
    /// <param name="payload">Where the block goes.</param>
    /// <param name="lastUse">Written into the file as its time of change, as far as that is allowed.</param>
    internal static BlockFileState Read(string path, in BlockHash hash, Span<byte> payload, DateTime lastUse)
    {
        BlockFileState state = Look(path, payload.Length);
        if (state != BlockFileState.Intact)
        {
            return state;
        }

        Span<byte> header = stackalloc byte[HeaderBytes];
        Span<byte> expected = stackalloc byte[HeaderBytes];
        try
        {
            using SafeFileHandle file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            if (!TryFill(file, header, 0) || !TryFill(file, payload, HeaderBytes))
            {
                return BlockFileState.Damaged;
            }

            FillHeader(expected, hash, payload);
            if (!header.SequenceEqual(expected))
            {
                return BlockFileState.Damaged;
            }

            Touch(path, lastUse);
            return BlockFileState.Intact;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            // Another process needed the room meanwhile.
            return BlockFileState.Missing;
        }
    }

    /// <summary>Looks at kind and length alone: links and files of another length are damage, and pipes and devices have none.</summary>
    internal static BlockFileState Look(string path, int payloadBytes)
    {
        FileInfo info = new(path);
        FileAttributes attributes = info.Attributes;
        if ((int)attributes == -1 || attributes.HasFlag(FileAttributes.Directory))
        {
            return BlockFileState.Missing;
        }

        if (attributes.HasFlag(FileAttributes.ReparsePoint) || info.Length != HeaderBytes + (long)payloadBytes)
        {
            return BlockFileState.Damaged;
        }

        return BlockFileState.Intact;
    }

    /// <summary>Notes when a block was used, for this process and others; a directory that may only be read stays as it is.</summary>
    internal static void Touch(string path, DateTime lastUse)
    {
        try
        {
            File.SetLastWriteTimeUtc(path, lastUse);
        }
        catch (Exception e) when (DiskFaults.IsDisk(e))
        {
            // The index of this process knows the use in any case.
        }
    }

    /// <summary>Removes a file that nobody will miss; where that is refused it stays.</summary>
    internal static void TryRemove(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (DiskFaults.IsDisk(e))
        {
            // A damaged file stays a miss for as long as it stays.
        }
    }

    private static void FillHeader(Span<byte> header, in BlockHash hash, ReadOnlySpan<byte> payload)
    {
        Magic.CopyTo(header);
        BinaryPrimitives.WriteUInt32LittleEndian(header[4..], Version);
        BinaryPrimitives.WriteInt64LittleEndian(header[8..], payload.Length);
        hash.CopyTo(header[16..]);
        BlockChecksum.Compute(payload, header[48..]);
    }

    // A file that another process cuts off meanwhile ends early.
    private static bool TryFill(SafeFileHandle file, Span<byte> target, long offset)
    {
        int done = 0;
        while (done < target.Length)
        {
            int read = RandomAccess.Read(file, target[done..], offset + done);
            if (read == 0)
            {
                return false;
            }

            done += read;
        }

        return true;
    }
}

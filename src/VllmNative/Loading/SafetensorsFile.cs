using System.IO.MemoryMappedFiles;
using VllmNative.Diagnostics;

namespace VllmNative.Loading;

/// <summary>
/// A safetensors file mapped read-only. Nothing is copied but the header's names and shapes; the header is validated
/// completely before the first tensor can be seen. Whoever truncates the file while it is mapped breaks the process,
/// as with every mapped file.
/// </summary>
internal sealed unsafe class SafetensorsFile : IDisposable
{
    // The accessor's handle is a critical handle: a forgotten file is unmapped by its finalizer.
    private readonly MemoryMappedViewAccessor _view;
    private readonly byte* _data;
    private readonly SafetensorsHeader _header;

    private SafetensorsFile(string path, MemoryMappedViewAccessor view, byte* start, SafetensorsHeader header)
    {
        Path = path;
        _view = view;
        _data = start + header.DataStart;
        _header = header;
    }

    /// <summary>The file, as it was opened.</summary>
    public string Path { get; }

    /// <summary>Names of the tensors, in the header's order.</summary>
    public IReadOnlyCollection<string> Tensors => _header.Tensors.Keys;

    /// <summary>The free-form strings of <c>__metadata__</c>; empty if there are none.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _header.Metadata;

    /// <summary>Maps and validates a file.</summary>
    /// <exception cref="ModelFormatException">The file cannot be read or is malformed.</exception>
    public static SafetensorsFile Open(string path)
    {
        MemoryMappedViewAccessor? view = null;
        try
        {
            view = Map(path, out long length);
            byte* start = (byte*)view.SafeMemoryMappedViewHandle.DangerousGetHandle() + view.PointerOffset;
            int jsonLength = SafetensorsHeader.ReadJsonLength(new ReadOnlySpan<byte>(start, SafetensorsHeader.PrefixLength), length, path);
            ReadOnlySpan<byte> json = new(start + SafetensorsHeader.PrefixLength, jsonLength);
            return new SafetensorsFile(path, view, start, SafetensorsHeader.Parse(json, length, path));
        }
        catch (Exception e)
        {
            view?.Dispose();
            if (e is IOException or UnauthorizedAccessException or NotSupportedException)
            {
                throw new ModelFormatException(path, null, "cannot be read: " + JsonText.OneLine(e), e);
            }

            throw;
        }
    }

    /// <summary>Finds a tensor; false if the file has none of this name.</summary>
    public bool TryGet(string name, out TensorView tensor)
    {
        bool found = _header.Tensors.TryGetValue(name, out SafetensorsEntry entry);
        tensor = found ? new TensorView(this, entry) : default;
        return found;
    }

    /// <summary>Tells the system that the pages of a tensor are not needed for now; reading them again is legal and reloads them.</summary>
    public static void Release(in TensorView tensor) => MemoryAdvice.DontNeed(tensor.Data, tensor.ByteLength);

    /// <summary>Unmaps the file; views of it must not be used any more.</summary>
    public void Dispose() => _view.Dispose();

    /// <summary>Address of a data byte.</summary>
    internal byte* DataAt(long offset)
    {
        ObjectDisposedException.ThrowIf(_view.SafeMemoryMappedViewHandle.IsClosed, this);
        return _data + offset;
    }

    private static MemoryMappedViewAccessor Map(string path, out long length)
    {
        using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
        length = stream.Length;
        if (length < SafetensorsHeader.PrefixLength)
        {
            // An empty file cannot even be mapped.
            throw SafetensorsHeader.TooShort(length, path);
        }

        // The view outlives the file handle and the mapping object, so a model of many shards holds no descriptors.
        using MemoryMappedFile map = MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
        return map.CreateViewAccessor(0, length, MemoryMappedFileAccess.Read);
    }
}

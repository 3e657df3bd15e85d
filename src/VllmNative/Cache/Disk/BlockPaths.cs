using System.Globalization;

namespace VllmNative.Cache.Disk;

/// <summary>
/// Where blocks lie: <c>root/model/ab/cdef….kv</c>, the model named by 16 digits of its fingerprint, the block by its hash. Names of
/// another form are not ours and are never touched.
/// </summary>
internal sealed class BlockPaths
{
    private const int ModelLength = 16;
    private const int FolderLength = 2;
    private const string Extension = ".kv";
    private const string TemporaryExtension = ".tmp";
    private const int NameLength = BlockHash.HexLength - FolderLength;

    private static readonly string[] AllFolders = [.. Enumerable.Range(0, 256).Select(i => i.ToString("x2", CultureInfo.InvariantCulture))];

    // Process ids are the same in two containers that share a disk.
    private readonly string _writer = Guid.NewGuid().ToString("N")[..16];
    private int _temporaries;

    internal BlockPaths(string root, in BlockHash fingerprint)
    {
        Root = Path.GetFullPath(root);
        Model = fingerprint.ToString()[..ModelLength];
    }

    internal string Root { get; }

    /// <summary>Name of the folder of this process's model.</summary>
    internal string Model { get; }

    /// <summary>The folders of a model, whether they exist or not.</summary>
    internal static ReadOnlySpan<string> Folders => AllFolders;

    internal static bool IsModel(ReadOnlySpan<char> name) => name.Length == ModelLength && BlockHash.IsHex(name);

    internal static bool IsTemporary(ReadOnlySpan<char> name) =>
        name.Length == NameLength + 1 + ModelLength + 8 + TemporaryExtension.Length
        && name.EndsWith(TemporaryExtension, StringComparison.Ordinal)
        && name[NameLength] == '.'
        && BlockHash.IsHex(name[..NameLength])
        && BlockHash.IsHex(name[(NameLength + 1)..^TemporaryExtension.Length]);

    /// <summary>The hash that a folder and a file in it name; false if this is not a block's name.</summary>
    internal static bool TryParse(ReadOnlySpan<char> folder, ReadOnlySpan<char> name, out BlockHash hash)
    {
        hash = default;
        if (name.Length != NameLength + Extension.Length || !name.EndsWith(Extension, StringComparison.Ordinal))
        {
            return false;
        }

        Span<char> hex = stackalloc char[BlockHash.HexLength];
        folder.CopyTo(hex);
        name[..NameLength].CopyTo(hex[FolderLength..]);
        return BlockHash.TryParse(hex, out hash);
    }

    internal string FolderOf(string model, in BlockHash hash) => Path.Combine(Root, model, hash.ToString()[..FolderLength]);

    internal string FileOf(string model, in BlockHash hash)
    {
        string hex = hash.ToString();
        return Path.Combine(Root, model, hex[..FolderLength], hex[FolderLength..] + Extension);
    }

    /// <summary>A name beside the block's that no other writer uses.</summary>
    internal string TemporaryOf(in BlockHash hash) =>
        string.Create(CultureInfo.InvariantCulture, $"{FileOf(Model, hash)[..^Extension.Length]}.{_writer}{_temporaries++:x8}{TemporaryExtension}");

    /// <summary>Makes a block's folder; nothing happens if it is there.</summary>
    /// <exception cref="IOException">The disk refuses, or the folder is a link that leads elsewhere.</exception>
    internal void CreateFolderOf(in BlockHash hash)
    {
        string folder = FolderOf(Model, hash);
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(folder);
        }
        else
        {
            Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }

        if (!IsReal(Model, folder))
        {
            throw new IOException($"'{folder}' is a link");
        }
    }

    /// <summary>Whether a block's folder is a directory here, not a link to one elsewhere.</summary>
    internal bool HasFolderOf(in BlockHash hash) => IsReal(Model, FolderOf(Model, hash));

    /// <summary>Whether a folder of a model is a directory, and the model's is too.</summary>
    internal bool IsReal(string model, string folder) => IsDirectory(Path.Combine(Root, model)) && IsDirectory(folder);

    // The root itself may be a link: where it leads was the user's choice.
    private static bool IsDirectory(string path)
    {
        FileAttributes attributes = new DirectoryInfo(path).Attributes;
        return (int)attributes != -1 && (attributes & (FileAttributes.Directory | FileAttributes.ReparsePoint)) == FileAttributes.Directory;
    }
}
